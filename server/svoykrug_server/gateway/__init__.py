"""The gateway: an Envoy that gives browsers gRPC-Web, and everybody JSON over HTTP and the documentation.

`configuration.py` makes what Envoy reads from our settings and our protos; `process.py` runs it. It is the same Envoy,
with the same configuration, beside an embedded server and in front of many.
"""
