import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, service as healthService } from 'grpc-health-check';
import { FleetService } from '../../proto/gen/remuda/v1/fleet_service_pb.js';
import { TaskService } from '../../proto/gen/remuda/v1/task_service_pb.js';
import { WorkerService } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import { reflectionPackage, type ReflectionPackage } from '../../proto/service-definition.js';
import { strictFile } from './health-file.js';

const SERVICES = [TaskService, FleetService, WorkerService] as const;
const HEALTH = 'grpc.health.v1.Health';

/** grpc.health.v1.Health, for the server as a whole ('') and each service. */
export class Health {
  readonly #health = new HealthImplementation();

  addToServer(server: Server): void {
    this.set('NOT_SERVING');
    this.#health.addToServer(server);
  }

  /** Tells whoever asks or watches. */
  set(status: 'SERVING' | 'NOT_SERVING'): void {
    for (const name of ['', ...SERVICES.map(({ typeName }) => typeName)]) this.#health.setStatus(name, status);
  }
}

/** Server reflection v1 and v1alpha: grpcurl and buf curl need no file. */
export function addReflection(server: Server): void {
  const ours = reflectionPackage(SERVICES);
  const names = [...SERVICES.map(({ typeName }) => typeName), HEALTH];
  // The types want proto-loader's own; what it reads is the encoded files alone.
  const described = { ...ours, ...healthPackage() } as unknown as ConstructorParameters<typeof ReflectionService>[0];
  new ReflectionService(described, { services: names }).addToServer(server);
}

function healthPackage(): ReflectionPackage {
  const { requestType } = healthService.Check as unknown as {
    requestType: { format: string; type: object; fileDescriptorProtos: Buffer[] };
  };
  return { [HEALTH]: { ...requestType, fileDescriptorProtos: requestType.fileDescriptorProtos.map(strictFile) } };
}
