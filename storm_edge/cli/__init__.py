"""The storm-edge command."""
