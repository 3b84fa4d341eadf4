"""Files for other people's servers and pipelines, written beside a model on request."""
