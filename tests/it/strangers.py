"""Talks to one service as a stranger does: with nothing but its address, and later a token."""

import sys

import grpc
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

service, address, token = sys.argv[1:]
name = f"cursus.{service}.v1.{service.capitalize()}Service"
channel = grpc.insecure_channel(address)

health = health_pb2_grpc.HealthStub(channel)
for checked in ("", name):
    answer = health.Check(health_pb2.HealthCheckRequest(service=checked), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, (checked, answer)

database = ProtoReflectionDescriptorDatabase(channel)
assert name in database.get_services(), database.get_services()
described = database.FindFileContainingSymbol(name)
methods = [method.name for kind in described.service for method in kind.method]
assert methods, described

unary = next(method for method in methods if method.startswith("Get"))
call = channel.unary_unary(
    f"/{name}/{unary}",
    request_serializer=empty_pb2.Empty.SerializeToString,
    response_deserializer=bytes,
)


def refusal(metadata):
    try:
        call(empty_pb2.Empty(), metadata=metadata, timeout=10)
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError(f"{unary} answered an empty request")


assert refusal(None) == grpc.StatusCode.UNAUTHENTICATED
known = refusal((("authorization", f"Bearer {token}"),))
assert known in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), known
