import { z } from "zod";
/** The site's own list as a person writes it (PROTOCOL §9): what the cloud may reach here, and nothing else. */
export const siteListSchema = z.strictObject({
  /**
   * `host:port`: a name, `*.domain`, an address or a range like `10.1.0.0/16`, IPv6 in brackets; the port a number,
   * `from-to` or `*`. Names plugins' systems and the addresses that a webhook listens on.
   */
  allow: z.array(z.string().min(3).max(300)).max(1_000).default([]),
  /** Absolute directories that file plugins may use, with all below them. */
  directories: z.array(z.string().min(1).max(1_000)).max(1_000).default([]),
});

export type SiteList = z.infer<typeof siteListSchema>;

/** Nothing is allowed. */
export const emptySiteList: SiteList = { allow: [], directories: [] };
