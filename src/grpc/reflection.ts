import {
  create,
  type DescFile,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { grpcCodes } from "../etcd/error.ts";
import type { HandlersOf } from "../etcd/types.ts";
import * as v1 from "./gen/reflection-v1_pb.ts";
import * as v1alpha from "./gen/reflection-v1alpha_pb.ts";

type Answer = NonNullable<MessageInitShape<typeof v1.ServerReflectionResponseSchema>["messageResponse"]>;

/** What is served, as tools ask for it that have no schema of their own. */
class Catalog {
  readonly #services: readonly string[];
  readonly #byName = new Map<string, DescFile>();
  readonly #bySymbol = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = services.map(({ typeName }) => typeName);
    for (const { file } of services) this.#add(file);
  }

  #add(file: DescFile): void {
    if (this.#byName.has(file.proto.name)) return;
    this.#byName.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      this.#bySymbol.set(type.typeName, file);
      if (type.kind === "service") {
        for (const { name } of type.methods) this.#bySymbol.set(`${type.typeName}.${name}`, file);
      } else if (type.kind === "message") {
        for (const { name } of type.fields) this.#bySymbol.set(`${type.typeName}.${name}`, file);
      }
    }
    for (const dependency of file.dependencies) this.#add(dependency);
  }

  answer({ messageRequest }: v1.ServerReflectionRequest): Answer {
    switch (messageRequest.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: this.#services.map((name) => ({ name })) },
        };
      case "fileByFilename":
        return this.#file(this.#byName.get(messageRequest.value), `file ${messageRequest.value}`);
      case "fileContainingSymbol":
        return this.#file(this.#bySymbol.get(messageRequest.value), `symbol ${messageRequest.value}`);
      case "fileContainingExtension":
      case "allExtensionNumbersOfType":
        return notFound("extensions");
      default:
        return refusal(grpcCodes.invalidArgument, "The request asks for nothing.");
    }
  }

  #file(file: DescFile | undefined, what: string): Answer {
    if (file === undefined) return notFound(what);
    const needed = new Set<DescFile>();
    const add = (item: DescFile): void => {
      needed.add(item);
      item.dependencies.forEach(add);
    };
    add(file);
    const fileDescriptorProto = [...needed].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
  }
}

function notFound(what: string): Answer {
  return refusal(grpcCodes.notFound, `There is no ${what} here.`);
}

function refusal(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

export interface ReflectionHandlers {
  readonly v1: HandlersOf<typeof v1.ServerReflection>;
  readonly v1alpha: HandlersOf<typeof v1alpha.ServerReflection>;
}

/** Server reflection, in the version that is current and in the one that older tools speak. */
export function reflectionHandlers(services: readonly DescService[]): ReflectionHandlers {
  const catalog = new Catalog(services);
  const answerTo = (request: v1.ServerReflectionRequest): v1.ServerReflectionResponse =>
    create(v1.ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: catalog.answer(request),
    });
  return {
    v1: {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) yield answerTo(request);
      },
    },
    v1alpha: {
      // The same bytes: only the name of the package differs.
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          const bytes = toBinary(v1alpha.ServerReflectionRequestSchema, request);
          const answer = answerTo(fromBinary(v1.ServerReflectionRequestSchema, bytes));
          yield fromBinary(
            v1alpha.ServerReflectionResponseSchema,
            toBinary(v1.ServerReflectionResponseSchema, answer),
          );
        }
      },
    },
  };
}
