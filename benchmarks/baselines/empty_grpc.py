"""The limit of gRPC in Python: GetMe that answers at once with an empty message, on grpc.aio and uvloop."""

import argparse
import asyncio
from typing import Any

import grpc.aio
import uvloop
from svoykrug.users.v1 import users_service_pb2 as pb
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceServicer, add_UsersServiceServicer_to_server


class Empty(UsersServiceServicer):
    """Answers GetMe and nothing else."""

    async def GetMe(self, request: pb.GetMeRequest, context: Any) -> pb.GetMeResponse:  # noqa: ARG002, N802  as gRPC calls it
        """Returns an empty answer."""
        return pb.GetMeResponse()


async def serve(port: int) -> None:
    """Serves until the process is ended."""
    server = grpc.aio.server()
    add_UsersServiceServicer_to_server(Empty(), server)  # type: ignore[abstract]  # the other methods are not called
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
