"""Images in: reading files, recognising data-set layouts, one preprocessing, the demo line."""
