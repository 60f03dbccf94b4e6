"""The only SQL of the project: engine, writer, queue, and one module an aggregate; Structs out."""
