import type { Service } from "../service/service.ts";
import type { Auth } from "./gen/auth_pb.ts";
import { headerOf } from "./messages.ts";
import { refusal } from "./refusals.ts";
import type { HandlersOf } from "./types.ts";

const notEnabled = async (): Promise<never> => {
  throw refusal("authNotEnabled");
};

/** There are no users yet: everything but the question whether there are is refused. */
export function authHandlers({ cluster }: Service): HandlersOf<typeof Auth> {
  return {
    authEnable: notEnabled,
    authDisable: notEnabled,
    async authStatus() {
      return {
        $typeName: "etcdserverpb.AuthStatusResponse",
        header: headerOf(cluster.head()),
        enabled: false,
        authRevision: 1n,
      };
    },
    authenticate: notEnabled,
    userAdd: notEnabled,
    userGet: notEnabled,
    userList: notEnabled,
    userDelete: notEnabled,
    userChangePassword: notEnabled,
    userGrantRole: notEnabled,
    userRevokeRole: notEnabled,
    roleAdd: notEnabled,
    roleGet: notEnabled,
    roleList: notEnabled,
    roleDelete: notEnabled,
    roleGrantPermission: notEnabled,
    roleRevokePermission: notEnabled,
  };
}
