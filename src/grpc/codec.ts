import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { messageOf } from "../base/errors.ts";
import { EtcdError, grpcCodes } from "../etcd/error.ts";

/** A request that is not to reach its handler: decoding itself cannot choose the status of the answer. */
export class Unreadable {
  readonly error: EtcdError;

  constructor(error: EtcdError) {
    this.error = error;
  }
}

export function decoder<D extends DescMessage>(
  schema: D,
  receiveBytesMax: number,
): (bytes: Buffer) => MessageShape<D> | Unreadable {
  return (bytes) => {
    if (bytes.length > receiveBytesMax) return new Unreadable(tooLarge(bytes.length, receiveBytesMax));
    try {
      // Not the Buffer itself: its `slice` and `subarray` behave unlike those of the arrays made of it.
      const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return fromBinary(schema, plain, { readUnknownFields: false });
    } catch (error) {
      const text = `grpc: error unmarshalling request: ${messageOf(error)}`;
      return new Unreadable(new EtcdError(grpcCodes.internal, text));
    }
  };
}

export function encoder<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function tooLarge(bytes: number, bytesMax: number): EtcdError {
  const text = `grpc: received message larger than max (${bytes} vs. ${bytesMax})`;
  return new EtcdError(grpcCodes.resourceExhausted, text);
}
