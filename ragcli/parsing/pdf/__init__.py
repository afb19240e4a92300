"""PDF -> Document: reading, layout, headings, and what has to be left out or made whole."""
