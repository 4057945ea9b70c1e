"""Streaming neural models: hops in, frames out. No clock, no asyncio, no network."""
