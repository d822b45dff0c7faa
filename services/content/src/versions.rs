//! Checking drafts, publishing them, and reading what was published.

use cursus_ambient::Ambient;
use cursus_ids::{TemplateName, TemplateVersionName};
use cursus_template::{Compiled, Fields};
use prost::Message;
use sqlx::PgPool;

use crate::asked::{Asked, Begin};
use crate::cores::Cores;
use crate::error::{Error, What};
use crate::metrics::PUBLICATIONS;
use crate::page::{self, Page};
use crate::peers::Segmentation;
use crate::store;
use crate::template::{Source, Template};
use crate::templates::Templates;
use crate::version::{self, Findings, Version};

/// How often a draft that changes while it is compiled is compiled again.
const ATTEMPTS: usize = 3;

/// The versions of templates.
#[derive(Clone, Debug)]
pub(crate) struct Versions {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) templates: Templates,
    pub(crate) segmentation: Segmentation,
    pub(crate) cores: Cores,
}

impl Versions {
    /// What publishing the draft would say about it.
    pub(crate) async fn lint(&self, name: &TemplateName) -> Result<Findings, Error> {
        let template = self.templates.get(name).await?;
        let fields = self.segmentation.fields(&name.workspace).await?;
        let compiled = self.compile(template.source, fields).await;
        Ok(compiled.map_or_else(|findings| findings, |compiled| Findings::new(compiled.warnings)))
    }

    /// Compiles the draft and stores it under the next number. The compiling is done before the transaction, which
    /// then makes sure that the draft is still the one that was compiled.
    pub(crate) async fn publish<R>(
        &self,
        name: &TemplateName,
        etag: Option<&str>,
        asked: Asked<'_, impl Message>,
    ) -> Result<R, Error>
    where
        R: Message + Default + From<Version>,
    {
        if let Some(answer) = asked.answered(&self.pool).await? {
            return Ok(answer);
        }
        let fields = self.segmentation.fields(&name.workspace).await?;
        for _ in 0..ATTEMPTS {
            let template = self.templates.get(name).await?;
            template.expect(etag)?;
            let compiled = self.compile(template.source.clone(), fields.clone()).await;
            let compiled = compiled.map_err(|findings| {
                PUBLICATIONS.with_label_values(&["TEMPLATE_INVALID"]).inc();
                Error::Findings(findings)
            })?;
            if let Some(answer) = self.store(template, compiled, &asked).await? {
                PUBLICATIONS.with_label_values(&["PUBLISHED"]).inc();
                return Ok(answer);
            }
        }
        Err(Error::Contended)
    }

    pub(crate) async fn get(&self, name: &TemplateVersionName) -> Result<Version, Error> {
        let mut conn = self.pool.acquire().await?;
        let found = store::versions::get(&mut conn, name).await?;
        found.ok_or_else(|| Error::no_such(What::Version, name))
    }

    /// Versions of a template, newest first.
    pub(crate) async fn list(
        &self,
        template: &TemplateName,
        (size, token): (i32, &str),
    ) -> Result<Page<Version>, Error> {
        let list = template.to_string();
        let asked = page::Asked::new(&list, size, token)?;
        let before = asked.after.map(|key| key.parse().map_err(|_| page::foreign())).transpose()?;
        let mut conn = self.pool.acquire().await?;
        if store::templates::get(&mut conn, template).await?.is_none() {
            return Err(Error::no_such(What::Template, template));
        }
        let found = store::versions::list(&mut conn, template, before, asked.size).await?;
        Ok(Page::new(&list, found, |version| version.name.number.to_string()))
    }

    async fn compile(&self, source: Source, fields: Fields) -> Result<Compiled, Findings> {
        let compiling = move || cursus_template::compile(&source.into(), &fields);
        self.cores.run(compiling).await.map_err(Findings::new)
    }

    /// Nothing if the draft is not the one that was compiled any more.
    async fn store<R>(
        &self,
        template: Template,
        compiled: Compiled,
        asked: &Asked<'_, impl Message>,
    ) -> Result<Option<R>, Error>
    where
        R: Message + Default + From<Version>,
    {
        let mut tx = self.pool.begin().await?;
        let first = match asked.begin(&mut tx).await? {
            Begin::Repeat(answer) => return Ok(Some(answer)),
            Begin::First(first) => first,
        };
        let next =
            store::templates::next_version(&mut tx, &template.name, template.revision).await?;
        let Some(number) = next else { return Ok(None) };
        let version = Version {
            name: TemplateVersionName { template: template.name, number },
            source: template.source,
            digest: version::digest(&compiled),
            links: compiled.links.clone(),
            fields: compiled.fields.clone(),
            warnings: Findings::new(compiled.warnings.clone()).into_vec(),
            create_time: self.ambient.now(),
        };
        store::versions::insert(&mut tx, &version, &compiled).await?;
        let answer = R::from(version);
        first.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(Some(answer))
    }
}
