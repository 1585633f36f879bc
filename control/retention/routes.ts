import { newRouter, operation } from "../api/index.ts";
import { type Retention, retentionSchema } from "./settings.ts";

/** `/retention`: how long what is kept. */
export function retentionRoutes(deps: { readonly retention: Retention }) {
  return newRouter().get(
    "/retention",
    operation({
      tag: "Retention",
      summary: "Get how long what is kept",
      description:
        "Set by the configuration of Solaris. A purge runs every minute. What waits to be delivered is never purged.",
      scope: "messages:read",
      answers: { 200: retentionSchema },
    }),
    (context) => context.json(deps.retention),
  );
}
