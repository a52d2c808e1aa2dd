"""Records as text: tables, Markdown, CSV and JSON; listings and states."""
