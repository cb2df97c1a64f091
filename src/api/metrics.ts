import { Counter, Histogram, type Registry } from "prom-client";

const bucketsSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const bucketsMs = bucketsSeconds.map((seconds) => seconds * 1000);

/**
 * Counts of one route. prom-client hashes the labels at every observation, which a hot route would
 * feel; here an observation is a few additions, and the figures are handed over when scraped.
 */
export class RouteMetrics {
  readonly route: string;
  readonly method: string;
  readonly byStatus = new Map<number, number>();
  /** Observations per bucket, not cumulated; the last is above every bound. */
  readonly bucketCounts = new Float64Array(bucketsMs.length + 1);
  sumMs = 0;
  count = 0;

  constructor(route: string, method: string) {
    this.route = route;
    this.method = method;
  }

  observe(status: number, durationMs: number): void {
    this.byStatus.set(status, (this.byStatus.get(status) ?? 0) + 1);
    let bucket = 0;
    while (bucket < bucketsMs.length && durationMs > (bucketsMs[bucket] as number)) bucket++;
    this.bucketCounts[bucket] = (this.bucketCounts[bucket] as number) + 1;
    this.sumMs += durationMs;
    this.count++;
  }
}

const durationName = "coracle_http_request_duration_seconds";
type Labels = "route" | "method" | "le";
type HistogramSnapshot = Awaited<ReturnType<Histogram<Labels>["get"]>>;

/** prom-client's histogram with the figures of `RouteMetrics`. */
class RouteHistogram extends Histogram<Labels> {
  readonly #routes: readonly RouteMetrics[];
  /** Gives name, help and type; holds no figures. */
  readonly #empty: Histogram<Labels>;

  constructor(routes: readonly RouteMetrics[], register: Registry) {
    const labelNames: Labels[] = ["route", "method"];
    const help = "Time from a request's arrival to its answer, by route.";
    super({ name: durationName, help, labelNames, registers: [register] });
    this.#routes = routes;
    this.#empty = new Histogram({ name: durationName, help, labelNames, registers: [] });
  }

  override async get(): Promise<HistogramSnapshot> {
    const values: HistogramSnapshot["values"] = [];
    for (const { route, method, bucketCounts, sumMs, count } of this.#routes) {
      if (count === 0) continue;
      let cumulated = 0;
      for (let bucket = 0; bucket < bucketCounts.length; bucket++) {
        cumulated += bucketCounts[bucket] as number;
        const le = bucketsSeconds[bucket] ?? "+Inf";
        values.push({
          metricName: `${durationName}_bucket`,
          labels: { le, route, method },
          value: cumulated,
        });
      }
      values.push({ metricName: `${durationName}_sum`, labels: { route, method }, value: sumMs / 1000 });
      values.push({ metricName: `${durationName}_count`, labels: { route, method }, value: count });
    }
    return { ...(await this.#empty.get()), values };
  }

  /** What the registry calls for the text form. */
  getForPromString(): Promise<HistogramSnapshot> {
    return this.get();
  }
}

/** HTTP by route and code, in the member's registry. */
export class HttpMetrics {
  readonly #routes: RouteMetrics[] = [];

  constructor(register: Registry) {
    const routes = this.#routes;
    new RouteHistogram(routes, register);
    new Counter({
      name: "coracle_http_requests_total",
      help: "Requests answered, by route and HTTP status.",
      labelNames: ["route", "method", "code"],
      registers: [register],
      collect() {
        this.reset();
        for (const { route, method, byStatus } of routes) {
          for (const [code, count] of byStatus) this.inc({ route, method, code }, count);
        }
      },
    });
  }

  /** The figures of a new route. */
  route(route: string, method: string): RouteMetrics {
    const metrics = new RouteMetrics(route, method);
    this.#routes.push(metrics);
    return metrics;
  }
}
