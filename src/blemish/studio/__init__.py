"""Studio: a project in the browser, from the first picture to limits."""
