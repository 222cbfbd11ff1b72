import { LEASE_ID_PATTERN, UUID_PATTERN } from '../../proto/bounds.js';
import { quoted, type FieldViolation } from '../../proto/fleet-error.js';
import type { AttemptRef } from '../../proto/gen/remuda/v1/worker_service_pb.js';
import type * as core from '../core/task.js';

/** The fence of an attempt as the core has it. What is wrong with it is added to `faults`. */
export function parseRef(ref: AttemptRef | undefined, field: string, faults: FieldViolation[]): core.AttemptRef {
  const { taskId, attempt, leaseId } = ref ?? { taskId: '', attempt: 0, leaseId: '' };
  if (!UUID_PATTERN.test(taskId)) {
    faults.push({ field: `${field}.task_id`, description: `is ${quoted(taskId)}; it must be the assignment's UUID` });
  }
  if (attempt < 1) {
    faults.push({ field: `${field}.attempt`, description: `is ${attempt}; attempts are counted from 1` });
  }
  if (!LEASE_ID_PATTERN.test(leaseId)) {
    const description = `is ${quoted(leaseId)}; it must be the assignment's 16 lower-case hexadecimal digits`;
    faults.push({ field: `${field}.lease_id`, description });
  }
  return { taskId: taskId.toLowerCase(), attempt, leaseId };
}
