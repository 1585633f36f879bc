import { enrollAnswerSchema, enrollRequestSchema } from "#lib/session";
import { body } from "../api/index.ts";
import { newNexusRouter } from "../gateways/index.ts";
import { type EnrollmentDeps, enroll } from "./service.ts";

/** `POST /nexus/v1/enroll`. */
export function enrollmentNexusRoutes(deps: EnrollmentDeps) {
  return newNexusRouter().post("/enroll", body(enrollRequestSchema), async (context) => {
    const { request, address } = context.req.valid("json");
    const answer = await enroll(deps, request, { gateway: context.get("gateway"), address });
    return context.json(enrollAnswerSchema.parse({ answer }));
  });
}
