"""Lists of pictures: their text, their formats, and labels as class numbers."""
