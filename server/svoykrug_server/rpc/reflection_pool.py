"""The descriptors that reflection shows, found by every name a caller may ask for."""

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor


class ReflectionPool:
    """The default pool, which also finds a method by its full name.

    Protobuf's pool finds the file of a message or a service, not that of a method, so that reflection could not
    describe one (grpc#34743).
    """

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """Returns the file that declares a symbol.

        Raises:
            KeyError: No file declares it.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file

    def FindFileByName(self, name: str) -> FileDescriptor:
        """Returns a file.

        Raises:
            KeyError: It is not known.
        """
        return self._pool.FindFileByName(name)

    def FindMessageTypeByName(self, name: str) -> Descriptor:
        """Returns a message.

        Raises:
            KeyError: It is not known.
        """
        return self._pool.FindMessageTypeByName(name)

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:
        """Returns an extension of a message.

        Raises:
            KeyError: It is not known.
        """
        return self._pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:
        """Returns every extension of a message."""
        return self._pool.FindAllExtensions(message)
