"""What a configuration is: reading YAML, components, sections and their rules, the schema."""
