"""Limits and the compiled gate every order passes."""
