"""From a file to pixels as a person sees them: formats, bit depths, colour profiles, transparency."""
