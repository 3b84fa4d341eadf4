"""Runs a verified model file: sessions, sources, stream, overlay and sinks. No torch."""
