//! The ARI engine in the test's own process, with everything it hears written down.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch::ari::{Answer, AskError, Asterisk, Event, Links, News, Request, Snapshot, Told, Watch};
use hookswitch::base::clock::Clock;
use hookswitch::base::secret::Secret;
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::{config, http};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::asterisk::{ARI_PASSWORD, ARI_USER};
use super::wait;

/// What was heard.
#[derive(Default)]
pub(crate) struct Ears {
    news: Mutex<Vec<News>>,
    deaf: AtomicBool,
}

impl Watch for Ears {
    fn hear(&self, _: &Arc<Asterisk>, news: News) {
        while self.deaf.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.news.lock().unwrap().push(news);
    }
}

/// The engine with one group `pbx`.
pub(crate) struct Engine {
    runtime: Runtime,
    links: Links,
    ears: Arc<Ears>,
    stopper: Option<Stopper>,
    tasks: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Dials the Asterisk at this address.
    pub(crate) fn dialling(to: SocketAddr) -> Self {
        Self::new(Some(format!("http://{to}")), None)
    }

    /// Waits at this address for Asterisk to connect.
    pub(crate) fn waiting(at: SocketAddr) -> Self {
        Self::new(None, Some(at))
    }

    fn new(url: Option<String>, at: Option<SocketAddr>) -> Self {
        // Shown with a test that failed.
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer();
        let _ = log.try_init();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let group = config::Ari {
            url,
            username: ARI_USER.to_owned(),
            password: Secret::new(ARI_PASSWORD),
            app: "hookswitch".to_owned(),
        };
        let links = Links::new(&[("pbx".to_owned(), group)].into(), Clock::system());
        let ears = Arc::new(Ears::default());
        let (stopper, stopping) = shutdown::channel();
        let _inside = runtime.enter();
        let watch: Arc<dyn Watch> = ears.clone();
        let mut tasks = links.start(&watch, &stopping);
        if let Some(at) = at {
            let listener = runtime.block_on(TcpListener::bind(at)).unwrap();
            tasks.push(runtime.spawn(http::serve::serve(listener, links.routes(), stopping.clone())));
        }
        drop(_inside);
        Self { runtime, links, ears, stopper: Some(stopper), tasks }
    }

    /// Ends it as the service ends.
    pub(crate) fn stop(mut self) {
        self.stopper.take().unwrap().stop();
        for task in std::mem::take(&mut self.tasks) {
            let ended = self.runtime.block_on(async { tokio::time::timeout(wait::PATIENCE, task).await });
            ended.expect("a task of the engine does not end").unwrap();
        }
    }

    /// The group.
    pub(crate) fn asterisk(&self) -> &Arc<Asterisk> {
        self.links.get("pbx").unwrap()
    }

    /// Asks Asterisk.
    pub(crate) fn try_ask(&self, request: Request) -> Result<Answer, AskError> {
        self.runtime.block_on(self.asterisk().ask(request))
    }

    /// Asks Asterisk, which does it.
    pub(crate) fn ask(&self, request: Request) -> serde_json::Value {
        let what = request.to_string();
        let answer = self.try_ask(request).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(answer.is_done(), "{what}: {answer:?}");
        answer.body
    }

    /// Asks many things at a time.
    pub(crate) fn ask_many(&self, requests: Vec<Request>) -> Vec<Result<Answer, AskError>> {
        self.runtime.block_on(async {
            let ask = |request| {
                let asterisk = Arc::clone(self.asterisk());
                tokio::spawn(async move { asterisk.ask(request).await })
            };
            let asking: Vec<_> = requests.into_iter().map(ask).collect();
            let mut answers = Vec::new();
            for one in asking {
                answers.push(one.await.unwrap());
            }
            answers
        })
    }

    /// Keeps the reader from taking anything, or lets it go on.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.ears.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Everything so far.
    pub(crate) fn news(&self) -> Vec<News> {
        self.ears.news.lock().unwrap().clone()
    }

    /// How often it was connected so far, and how often lost.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let news = self.news();
        let count = |is: fn(&News) -> bool| news.iter().filter(|one| is(one)).count();
        (count(|one| matches!(one, News::Connected { .. })), count(|one| matches!(one, News::Lost)))
    }

    /// Waits until it has been connected so often; the last snapshot and its gap.
    pub(crate) fn connected(&self, times: usize) -> (Snapshot, Option<(i64, i64)>) {
        wait::until("a connection to Asterisk", || {
            let all = self.news().into_iter().filter_map(|news| match news {
                News::Connected { snapshot, gap } => Some((snapshot, gap)),
                _ => None,
            });
            all.take(times).skip(times - 1).last()
        })
    }

    /// Waits until it has been lost so often.
    pub(crate) fn lost(&self, times: usize) {
        wait::until("the connection to be lost", || (self.counts().1 >= times).then_some(()));
    }

    /// The events so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        let told = |news| match news {
            News::Told(told) => Some(told),
            _ => None,
        };
        self.news().into_iter().filter_map(told).collect()
    }

    /// Waits for an event.
    pub(crate) fn event<T>(&self, what: &str, mut pick: impl FnMut(&Told) -> Option<T>) -> T {
        wait::until(what, || self.told().iter().find_map(&mut pick))
    }

    /// Waits for the start of a channel in the application: its event, and its id.
    pub(crate) fn started(&self) -> (Told, String) {
        self.event("a StasisStart", |told| match &told.event {
            Event::StasisStart { channel, .. } => Some((told.clone(), channel.id.clone())),
            _ => None,
        })
    }
}
