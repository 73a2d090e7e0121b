"""Storage: local and remote byte sources, atomic files, locks, checked msgpack, varints."""
