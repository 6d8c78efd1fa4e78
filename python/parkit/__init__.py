"""Persistent shared objects, transactions and durable tasks."""

__version__ = "0.1.0"
