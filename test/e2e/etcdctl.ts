/** The part of the client batteries that runs with the whole suite: etcdctl's commands on keys, leases and watches. */
import "../compat/clients/main.ts";
