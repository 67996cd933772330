"""Pure tensor maths: torch only, no files, no state."""
