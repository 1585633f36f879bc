import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fromUtf8 } from "#lib/bytes";
import { licenceProblem } from "../../../control/customers/index.ts";
import { licences } from "../../../control/customers/tables.ts";
import type { Sealed } from "../../../control/db/index.ts";
import { ControlWorld } from "../../support/control-world.ts";

let world: ControlWorld;
beforeAll(async () => {
  world = await ControlWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

describe("licences", () => {
  test("the key is shown once, kept hashed and sealed, and opens only in its own row", async () => {
    const { id } = await world.customer();
    const one = (await world.api("POST", `/customers/${id}/licences`, { name: "a", tier: "gold" })).json;
    const two = (await world.api("POST", `/customers/${id}/licences`, { name: "b", tier: "gold" })).json;
    expect(one.key).toMatch(/^licence_[A-Za-z0-9_-]{43}$/);
    const [row] = await world.database.read<{ key: Sealed }>("SELECT key FROM licences WHERE id = ?", [one.licence.id]);
    if (row === undefined) throw new RangeError("no row");
    expect(Buffer.from(row.key).includes(one.key)).toBe(false);
    const { seals } = world.solaris.slices;
    expect(fromUtf8(await seals.open(licences.key, one.licence.id, row.key))).toBe(one.key);
    expect(seals.open(licences.key, two.licence.id, row.key)).rejects.toMatchObject({ code: "crypto" });
  });

  test("reserved names are no attributes, in any case, neither of a licence nor of an agent", async () => {
    const { id } = await world.customer();
    for (const name of [
      "role",
      "customer_id",
      "agent_id",
      "gateway_id",
      "identifier",
      "Role",
      "CUSTOMER_ID",
      "tier",
      "rate_limit_rpm",
    ]) {
      const licence = await world.api("POST", `/customers/${id}/licences`, {
        name: "x",
        tier: "t",
        attributes: { [name]: "nexus" },
      });
      expect([name, licence.json.errors?.[0]?.path]).toEqual([name, `attributes.${name}`]);
      const agent = await world.api("POST", "/agents", { customerId: id, name: "x", attributes: { [name]: "nexus" } });
      expect([name, agent.json.errors?.[0]?.path]).toEqual([name, `attributes.${name}`]);
    }
  });

  test("with several valid licences an agent needs one named, of its own customer", async () => {
    const { id } = await world.customer();
    await world.api("POST", `/customers/${id}/licences`, { name: "second", tier: "gold" });
    const choice = await world.api("POST", "/agents", { customerId: id, name: "a" });
    expect(choice.json.errors).toMatchObject([{ path: "licenceId" }]);
    const other = await world.customer();
    const foreign = await world.api("POST", "/agents", { customerId: id, name: "a", licenceId: other.licenceId });
    expect(foreign.json.code).toBe("not_found");
    expect((await world.api("POST", "/agents", { customerId: "cus_nobody", name: "a" })).status).toBeGreaterThanOrEqual(
      400,
    );
  });

  test("periods: begins before it ends, and says its state", async () => {
    const { id, licenceId } = await world.customer();
    const now = world.clock.now();
    const body = { name: "x", tier: "t", validFrom: now + 10, validUntil: now };
    expect((await world.api("POST", `/customers/${id}/licences`, body)).json.errors).toMatchObject([
      { path: "validUntil" },
    ]);
    const never = { suspendedAt: null, validFrom: 10, validUntil: null };
    expect([licenceProblem(never, 9), licenceProblem(never, 10)]).toEqual(["licence_expired", undefined]);
    expect(licenceProblem({ ...never, validUntil: 20 }, 20)).toBe("licence_expired");
    expect(licenceProblem({ ...never, suspendedAt: 1 }, 15)).toBe("suspended");
    await world.api("POST", `/licences/${licenceId}/suspend`, { reason: "unpaid" });
    expect((await world.api("GET", `/licences/${licenceId}`)).json).toMatchObject({
      state: "suspended",
      suspendedReason: "unpaid",
    });
  });

  test("two agents of one customer have different names", async () => {
    const { id } = await world.customer();
    await world.agent(id, { name: "plant 1" });
    expect((await world.api("POST", "/agents", { customerId: id, name: "plant 1" })).json.code).toBe("conflict");
    await world.agent((await world.customer()).id, { name: "plant 1" });
    const found = await world.api("GET", `/agents?customerId=${id}&name=plant%20&state=pending`);
    expect(found.json.items).toHaveLength(1);
  });
});
