// Package keep looks after namespaces: it checks them and repairs what is
// damaged, backs them up, gives space back, and copies and moves objects.
//
// A check reads one commit of a namespace by itself, page by page, and
// believes nothing that it has not verified: others may write meanwhile.
//
//	structure     the pages of the storage          store.Space.Check
//	records       each record's sum                 keys.Verify, tasks.Verify
//	catalog       names, descriptors and data agree
//	collections   what a state counts is there      coll.AuditOf
//	tasks         indexes say what records say      tasks.Store.Audit
//
// A repair goes by what a check found, object by object, in a transaction for
// each: what does not belong is set aside, raw and with the reason, before the
// transaction that removes it commits.
package keep
