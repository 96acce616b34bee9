"""What a robot runs: sessions over frames, the state machine of each object, lanes, faults."""
