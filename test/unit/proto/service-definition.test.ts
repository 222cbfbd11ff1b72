import { create, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { ReflectionService } from '@grpc/reflection';
import { describe, expect, it, vi } from 'vitest';
import { FleetService } from '../../../proto/gen/remuda/v1/fleet_service_pb.js';
import { GetTaskRequestSchema, TaskService } from '../../../proto/gen/remuda/v1/task_service_pb.js';
import { WorkerService } from '../../../proto/gen/remuda/v1/worker_service_pb.js';
import { methodDefinition, reflectionPackage, serviceDefinition } from '../../../proto/service-definition.js';

const SERVICES = [TaskService, FleetService, WorkerService];

describe('serviceDefinition', () => {
  it('should say how each method is called', () => {
    expect(serviceDefinition(TaskService).runTask).toMatchObject({
      path: '/remuda.v1.TaskService/RunTask',
      requestStream: false,
      responseStream: false,
      originalName: 'runTask',
    });
    expect(serviceDefinition(WorkerService).connect).toMatchObject({
      path: '/remuda.v1.WorkerService/Connect',
      requestStream: true,
      responseStream: true,
    });
  });

  it('should carry messages and skip fields that it does not know', () => {
    const { requestSerialize, requestDeserialize } = methodDefinition(TaskService.method.getTask);
    const sent = create(GetTaskRequestSchema, { taskId: 'x' });
    expect(requestDeserialize(requestSerialize(sent))).toEqual(sent);
    const unknownField = Buffer.concat([requestSerialize(sent), Buffer.from([0xf8, 0x01, 0x01])]);
    expect(requestDeserialize(unknownField)).toEqual(sent);
  });
});

describe('reflectionPackage', () => {
  it('should hold every file once, well-known types and error details included, imports first', () => {
    const [entry] = Object.values(reflectionPackage(SERVICES));
    const files = (entry?.fileDescriptorProtos ?? []).map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
    const names = files.map(({ name }) => name);
    expect([...names].sort()).toEqual([
      'google/protobuf/any.proto',
      'google/protobuf/duration.proto',
      'google/protobuf/struct.proto',
      'google/protobuf/timestamp.proto',
      'google/rpc/error_details.proto',
      'google/rpc/status.proto',
      'remuda/v1/fleet_service.proto',
      'remuda/v1/payload.proto',
      'remuda/v1/task.proto',
      'remuda/v1/task_service.proto',
      'remuda/v1/worker_service.proto',
    ]);
    for (const [index, { dependency }] of files.entries()) {
      for (const name of dependency) expect(names.indexOf(name)).toBeLessThan(index);
    }
  });

  it('should be all that the reflection service needs: no reference stays open', () => {
    const warn = vi.spyOn(console, 'warn');
    const added: string[] = [];
    const service = new ReflectionService(reflectionPackage(SERVICES) as never);
    service.addToServer({ addService: (definition: object) => added.push(...Object.keys(definition)) });
    expect(warn).not.toHaveBeenCalled();
    expect(added).toHaveLength(2);
    warn.mockRestore();
  });
});
