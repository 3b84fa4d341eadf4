"""Procedural road scenes: renderer, training set writer and demo clip writer."""
