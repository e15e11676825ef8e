"""What a process needs to run safely: leases, files, logs, records, digests, memory, threads."""
