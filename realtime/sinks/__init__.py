"""Where a stream goes: adapters that know no model and no microphone."""
