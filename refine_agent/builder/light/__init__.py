"""The light headers and the shim's source, which candidates compile against instead of torch's.

Package data only: `refine_agent.builder.toolchain` copies these files beside the shim it builds.
"""
