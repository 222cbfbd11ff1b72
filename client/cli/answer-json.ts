import { createRegistry, toJsonString, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from '../../proto/gen/google/rpc/error_details_pb.js';

/** What an error within an answer may hold: its details are `Any`, written by their type. */
const REGISTRY = createRegistry(ErrorInfoSchema, BadRequestSchema, RetryInfoSchema, QuotaFailureSchema);

/** An answer of the contract in protobuf's JSON, as grpcurl prints it; ends with a line feed. */
export function answerJson<M extends DescMessage>(schema: M, answer: MessageShape<M>): string {
  return `${toJsonString(schema, answer, { registry: REGISTRY, prettySpaces: 2 })}\n`;
}

/** The same on one line, for answers of which several come. */
export function answerJsonLine<M extends DescMessage>(schema: M, answer: MessageShape<M>): string {
  return `${toJsonString(schema, answer, { registry: REGISTRY })}\n`;
}
