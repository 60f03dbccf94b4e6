"""The data flows, one a module: *accept* in the request, *push / read / deliver* in a task."""
