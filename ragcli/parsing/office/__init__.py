"""Word, PowerPoint, Excel and OpenDocument files -> Document."""
