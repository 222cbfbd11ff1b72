import type { handleUnaryCall, ServerUnaryCall } from '@grpc/grpc-js';
import { FleetError } from '../../proto/fleet-error.js';

/**
 * A handler that answers or throws, as grpc-js wants it: the one place where errors of unary calls become statuses.
 *
 * @param onBug Told of errors that are no FleetError, whose text callers do not get to see.
 */
export function unary<Request, Response>(
  handle: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
  onBug: (error: unknown) => void,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    handle(call.request, call).then(
      (response) => {
        callback(null, response);
      },
      (error: unknown) => {
        if (!(error instanceof FleetError)) onBug(error);
        callback(FleetError.from(error).toStatus());
      },
    );
  };
}
