// Walks through a referral with the vendor's own client, against the sandbox whose address is the first argument.
// Prints one JSON object with what it saw; ../test_official_client.py judges it.
import pipedrive from 'pipedrive';

const { v1, v2 } = pipedrive;
const [base, settings] = [process.argv[2], JSON.parse(process.argv[3])];
const seen = {};

const redirectUri = `${base}/cb`;
const oauth = new v2.OAuth2Configuration({ clientId: 'sandbox-client', clientSecret: 'sandbox-secret', redirectUri, host: base });

const consent = await fetch(`${oauth.authorizationUrl}&state=s1&decision=allow`, { redirect: 'manual' });
const callback = new URL(consent.headers.get('location'));
seen.state = callback.searchParams.get('state');
seen.token = await oauth.authorize(callback.searchParams.get('code'));
seen.basePath = oauth.basePath;

const c2 = new v2.Configuration({ accessToken: oauth.getAccessToken, basePath: `${base}/api/v2` });
const c1 = new v1.Configuration({ accessToken: oauth.getAccessToken, basePath: `${base}/api/v1` });
const persons = new v2.PersonsApi(c2);
const deals = new v2.DealsApi(c2);
const leads1 = new v1.LeadsApi(c1);
const leads2 = new v2.LeadsApi(c2);

seen.me = (await new v1.UsersApi(c1).getCurrentUser()).data;
seen.pipelines = (await new v2.PipelinesApi(c2).getPipelines({ limit: 500 })).data;
seen.stages = (await new v2.StagesApi(c2).getStages({ pipeline_id: seen.pipelines[0].id, sort_by: 'order_nr' })).data;
seen.personFields = (await new v2.PersonFieldsApi(c2).getPersonFields({ limit: 500 })).data;
seen.leadFields = (await new v1.LeadFieldsApi(c1).getLeadFields({ limit: 500 })).data;
seen.filters = (await new v1.FiltersApi(c1).getFilters({ type: 'people' })).data;

const link = settings.link;
seen.person = (
  await persons.addPerson({ AddPersonRequest: { name: 'Jane Doe', emails: [{ value: 'jane@x.test', primary: true, label: 'work' }] } })
).data;
seen.updated = (
  await persons.updatePerson({ id: seen.person.id, UpdatePersonRequest: { custom_fields: { [link]: 'https://refer.test/a' } } })
).data;
const walked = [];
for (let cursor; ; ) {
  const page = await persons.getPersons({ limit: 2, cursor });
  walked.push(...page.data.map((one) => one.id));
  cursor = page.additional_data.next_cursor;
  if (cursor === null) break;
}
seen.walked = walked;
seen.found = (await persons.searchPersons({ term: 'jane@x.test', fields: 'email', exact_match: true })).data.items;

const code = settings.code;
seen.lead = (await leads1.addLead({ AddLeadRequest: { title: 'Lead', person_id: seen.person.id, [code]: 'REF1' } })).data;
seen.note = (await new v1.NotesApi(c1).addNote({ AddNoteRequest: { content: 'Referred', lead_id: seen.lead.id } })).data;
seen.hook = (
  await new v1.WebhooksApi(c1).addWebhook({
    AddWebhookRequest: { name: 'n', subscription_url: `${base}/_control/webhooks`, event_action: '*', event_object: 'deal', version: '2.0' },
  })
).data;
const job = (await leads2.convertLeadToDeal({ id: seen.lead.id, ConvertLeadToDealRequest: { stage_id: seen.stages[1].id } })).data;
seen.conversion = (await leads2.getLeadConversionStatus({ id: seen.lead.id, conversion_id: job.conversion_id })).data;
seen.deal = (await deals.getDeal({ id: seen.conversion.deal_id, include_fields: 'source_lead_id' })).data;
seen.won = (await deals.updateDeal({ id: seen.deal.id, UpdateDealRequest: { status: 'won' } })).data;
seen.byField = (
  await new v2.ItemSearchApi(c2).searchItemByField({ term: 'REF1', entity_type: 'deal', match: 'exact', field: code })
).data;
seen.hooks = (await new v1.WebhooksApi(c1).getWebhooks()).data;
await new v1.WebhooksApi(c1).deleteWebhook({ id: seen.hook.id });

const refusals = {
  unknownKey: () => persons.updatePerson({ id: seen.person.id, UpdatePersonRequest: { [link]: 'x' } }),
  leadGone: () => leads1.getLead({ id: seen.lead.id }),
  badLead: () => leads1.addLead({ AddLeadRequest: { title: 'L', person_id: seen.person.id, owner_id: null } }),
};
seen.refused = {};
for (const [name, call] of Object.entries(refusals)) {
  seen.refused[name] = await call().then(() => 'was taken', (error) => error);
}

seen.refreshed = await oauth.tokenRefresh();
await oauth.revokeToken('refresh_token');
seen.refused.afterRevoke = await new v1.UsersApi(c1).getCurrentUser().then(() => 'was taken', (error) => error);
console.log(JSON.stringify(seen));
