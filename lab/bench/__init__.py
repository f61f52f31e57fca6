"""What the policies cost a call, measured beside bare gRPC and what others offer.

The modules that run in the measured processes (`wire`, `echo`, `rivals`, `variants`,
`measure`, `worker`) import grpc and `resilience`, and of the lab only each other: they
run in interpreters that have none of its packages.
"""
