"""The shell: everything that waits, retries or owns a process."""
