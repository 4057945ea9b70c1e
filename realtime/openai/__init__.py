"""The dialect of OpenAI's Realtime clients."""
