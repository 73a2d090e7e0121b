"""Where bytes lie: local and remote sources, atomic files, locks, checked msgpack, varints."""
