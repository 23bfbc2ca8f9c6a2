"""Parts of the demo that are not Countersign itself."""
