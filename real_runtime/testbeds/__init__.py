"""Where do ranks live? On emulated hosts of this machine: network namespaces where allowed, else plain processes.

``spec`` says how to emulate, ``opening`` starts the hosts, ``testbed`` plays assignments on them. A spec is built for
every run, also for those that only simulate: nothing is imported here, so that it loads without PyTorch.
"""
