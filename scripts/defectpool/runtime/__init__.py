"""What a process needs to run safely: leases, atomic writes, logs, records, digests, memory."""
