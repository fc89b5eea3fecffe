"""The command line, one file per verb: words around :class:`blemish.Detector`, no computation."""
