import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

/** A method of the generated schema, by its messages. */
type Method<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

/** A plain gRPC client of one server. */
export class TestClient {
  readonly client: grpc.Client;

  constructor(port: number) {
    this.client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      // Each its own connection, also of clients of one address.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  close(): void {
    this.client.close();
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
    options: grpc.CallOptions = {},
  ): Promise<MessageShape<O>> {
    return this.bytes(pathOf(method), toBinary(method.input, create(method.input, request)), options).then(
      (answer) => fromBinary(method.output, Uint8Array.from(answer)),
    );
  }

  /** Any bytes to any method. */
  bytes(path: string, body: Uint8Array, options: grpc.CallOptions = {}): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const done = (error: grpc.ServiceError | null, answer?: Buffer) =>
        error === null && answer !== undefined ? resolve(answer) : reject(error);
      this.client.makeUnaryRequest(path, asBuffer, same, body, new grpc.Metadata(), options, done);
    });
  }

  stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    options: grpc.CallOptions = {},
  ): grpc.ClientDuplexStream<MessageInitShape<I>, MessageShape<O>> {
    return this.client.makeBidiStreamRequest<MessageInitShape<I>, MessageShape<O>>(
      pathOf(method),
      (request) => asBuffer(toBinary(method.input, create(method.input, request))),
      (bytes) => fromBinary(method.output, bytes),
      options,
    );
  }

  download<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
    options: grpc.CallOptions = {},
  ): grpc.ClientReadableStream<MessageShape<O>> {
    return this.client.makeServerStreamRequest<MessageInitShape<I>, MessageShape<O>>(
      pathOf(method),
      (message) => asBuffer(toBinary(method.input, create(method.input, message))),
      (bytes) => fromBinary(method.output, bytes),
      request,
      options,
    );
  }
}

function pathOf(method: DescMethod): string {
  const service: DescService = method.parent;
  return `/${service.typeName}/${method.name}`;
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const same = (bytes: Buffer): Buffer => bytes;

/** The error that ends a stream. */
export function endOf(
  stream: grpc.ClientReadableStream<unknown> | grpc.ClientDuplexStream<unknown, unknown>,
) {
  return new Promise<grpc.StatusObject>((resolve) => {
    stream.once("status", resolve);
    stream.on("error", () => {});
    stream.on("data", () => {});
  });
}
