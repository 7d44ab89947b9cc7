//! Label images against a slow account that asks every pixel about every shape.

use super::super::synthetic::{Look, Synthetic};
use super::*;
use crate::model::{Affine, Mask};

const ANY: u32 = RoiShape::ANY;

fn on(figure: Figure, transform: Option<[f64; 6]>, (t, c, z): (u32, u32, u32)) -> RoiShape {
    let transform = transform.map(|t| Box::new(Affine(t)));
    RoiShape { figure, transform, z, c, t, stroke: None, fill: None, text: None }
}

fn shape(figure: Figure) -> RoiShape {
    on(figure, None, (ANY, ANY, ANY))
}

fn rois(all: Vec<Vec<RoiShape>>) -> Rois {
    let of_series = vec![(0..u32::try_from(all.len()).unwrap()).collect()];
    let roi = |shapes| Roi { id: None, name: None, shapes };
    Rois { all: all.into_iter().map(roi).collect(), of_series }
}

fn image(shape: [u64; 5]) -> Series {
    let look = Look { shape, unit: (64, 64), stored: Vec::new(), ..Look::default() };
    Synthetic::new(&look).series.remove(0)
}

fn values(bytes: &[u8], dtype: Dtype) -> Vec<u32> {
    let value = |p: &[u8]| p.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
    bytes.chunks(dtype.size()).map(value).collect()
}

/// The label image of a series of these regions.
struct Drawn {
    rois: Rois,
    outlines: Vec<Outline>,
    labels: Labels,
}

impl Drawn {
    fn new(rois: Rois, image: &Series) -> Self {
        let outlines: Vec<Outline> = rois.all.iter().map(Outline::new).collect();
        let labels = Labels::new(&rois, &outlines, 0, image);
        Drawn { rois, outlines, labels }
    }

    fn unit(&self, id: TileId, watch: &Watch) -> Result<Vec<u32>> {
        self.labels.draw(&self.rois, &self.outlines, id, watch).map(|bytes| values(&bytes, self.labels.dtype))
    }
}

/// A whole plane of a level, put together from its units.
fn plane(drawn: &Drawn, level: u32, (t, g, z): (u64, u64, u64)) -> Vec<Vec<u32>> {
    let l = drawn.labels.levels[level as usize];
    let mut out = vec![vec![0; l.shape.x as usize]; l.shape.y as usize];
    let (down, across) = l.grid();
    for (ty, tx) in (0..down).flat_map(|ty| (0..across).map(move |tx| (ty, tx))) {
        let id = TileId { series: 1, level, t, g, z, ty, tx };
        let unit = drawn.unit(id, &Watch::default()).unwrap();
        let (_, columns) = l.unit_size(ty, tx);
        for (at, value) in (0u64..).zip(unit) {
            out[(ty * l.unit.y + at / columns) as usize][(tx * l.unit.x + at % columns) as usize] = value;
        }
    }
    out
}

/// The textbook line, step by step.
fn bresenham(from: [f64; 2], to: [f64; 2]) -> Vec<(i64, i64)> {
    let [mut x, mut y] = from.map(|v| v.floor() as i64);
    let [to_x, to_y] = to.map(|v| v.floor() as i64);
    let (wide, tall) = ((to_x - x).abs(), (to_y - y).abs());
    let (sx, sy) = ((to_x - x).signum(), (to_y - y).signum());
    let mut out = vec![(x, y)];
    // Twice the distance from the ideal line, in steps of the longer side; at one half it steps aside.
    let mut error = 0;
    for _ in 0..wide.max(tall) {
        if tall > wide {
            y += sy;
            error += 2 * wide;
            if error >= tall {
                x += sx;
                error -= 2 * tall;
            }
        } else {
            x += sx;
            error += 2 * tall;
            if error >= wide {
                y += sy;
                error -= 2 * wide;
            }
        }
        out.push((x, y));
    }
    out
}

fn even_odd(points: &[[f64; 2]], x: f64, y: f64) -> bool {
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    let crossed = edges.filter(|([ax, ay], [bx, by])| {
        let (low, high) = if ay <= by { ([*ax, *ay], [*bx, *by]) } else { ([*bx, *by], [*ax, *ay]) };
        low[1] <= y && y < high[1] && low[0] + (y - low[1]) * (high[0] - low[0]) / (high[1] - low[1]) <= x
    });
    crossed.count() % 2 == 1
}

/// Does a shape cover a pixel of level 0?
fn covers(shape: &RoiShape, column: i64, row: i64) -> bool {
    let moved = |p: [f64; 2]| shape.transform.as_ref().map_or(p, |t| t.apply(p));
    let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
    let [u, v] = shape.transform.as_ref().map_or([x, y], |t| t.inverse().unwrap().apply([x, y]));
    let line =
        |points: &[[f64; 2]]| points.windows(2).any(|p| bresenham(moved(p[0]), moved(p[1])).contains(&(column, row)));
    match &shape.figure {
        Figure::Rectangle { x: left, y: top, width: w, height: h } if shape.transform.is_none() => {
            (*left..left + w).contains(&x) && (*top..top + h).contains(&y)
        }
        Figure::Rectangle { x: l, y: t, width: w, height: h } => {
            even_odd(&[[*l, *t], [l + w, *t], [l + w, t + h], [*l, t + h]].map(moved), x, y)
        }
        Figure::Ellipse { x: cx, y: cy, radius_x, radius_y } => {
            let (a, b) = ((u - cx) / radius_x, (v - cy) / radius_y);
            *radius_x > 0.0 && *radius_y > 0.0 && a * a + b * b <= 1.0
        }
        Figure::Point { x, y } => line(&[[*x, *y], [*x, *y]]),
        Figure::Line { x1, y1, x2, y2 } => line(&[[*x1, *y1], [*x2, *y2]]),
        Figure::Polyline(points) => line(points),
        Figure::Polygon(points) => even_odd(&points.iter().map(|p| moved(*p)).collect::<Vec<_>>(), x, y),
        Figure::Mask(m) => {
            let (row, column) = ((v - m.y) * (m.rows as f64 / m.height), (u - m.x) * (m.columns as f64 / m.width));
            row >= 0.0 && column >= 0.0 && m.bit(row as u64, column as u64)
        }
        Figure::Label { .. } | Figure::Unreadable(_) => false,
    }
}

/// Compares every plane of every level.
fn check(drawn: &Drawn) {
    let (labels, rois) = (&drawn.labels, &drawn.rois);
    let full = labels.full;
    for (t, g, z) in (0..full.t).flat_map(|t| (0..full.c).flat_map(move |g| (0..full.z).map(move |z| (t, g, z)))) {
        let mut want = vec![vec![0u32; full.x as usize]; full.y as usize];
        for (index, roi) in rois.of(0) {
            for shape in roi.shapes.iter().filter(|s| s.is_on(t, g / labels.samples, z)) {
                for (row, line) in want.iter_mut().enumerate() {
                    for (column, value) in line.iter_mut().enumerate() {
                        if covers(shape, column as i64, row as i64) {
                            *value = index + 1;
                        }
                    }
                }
            }
        }
        for (level, l) in labels.levels.iter().enumerate() {
            let pick = |n: usize, from: u64, to: u64| (n as u64 * from / to) as usize;
            let reduced: Vec<Vec<u32>> = (0..l.shape.y as usize)
                .map(|y| {
                    let line = &want[pick(y, full.y, l.shape.y)];
                    (0..l.shape.x as usize).map(|x| line[pick(x, full.x, l.shape.x)]).collect()
                })
                .collect();
            let found = plane(drawn, level as u32, (t, g, z));
            for (y, (found, want)) in found.iter().zip(&reduced).enumerate() {
                assert_eq!(found, want, "t {t} c {g} z {z} level {level} row {y}");
            }
        }
    }
}

/// Numbers that look random, on a grid of quarters so that ties happen.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn place(&mut self, from: f64, to: f64) -> f64 {
        from + self.roll(((to - from) * 4.0) as u64) as f64 / 4.0
    }

    fn figure(&mut self, size: f64) -> Figure {
        let mut p = || self.place(-30.0, size + 30.0);
        let ([x, y, x2, y2], near) = ([p(), p(), p(), p()], self.place(-2.0, 60.0));
        match self.roll(7) {
            0 => Figure::Rectangle { x, y, width: near, height: self.place(0.0, 50.0) },
            1 => Figure::Ellipse { x, y, radius_x: near, radius_y: self.place(0.0, 50.0) },
            2 => Figure::Point { x, y },
            3 => Figure::Line { x1: x, y1: y, x2, y2 },
            4 => Figure::Polyline((0..self.roll(5)).map(|_| [self.place(0.0, size), self.place(0.0, size)]).collect()),
            5 => Figure::Polygon((0..self.roll(9)).map(|_| [self.place(-9.0, size), self.place(-9.0, size)]).collect()),
            _ => {
                let (columns, rows) = (1 + self.roll(40), 1 + self.roll(30));
                let bits = (0..(columns * rows).div_ceil(8)).map(|_| self.roll(256) as u8).collect();
                let (width, height) = (columns as f64 * [1.0, 1.5][self.roll(2) as usize], rows as f64);
                Figure::Mask(Box::new(Mask { x, y, width, height, columns, rows, bits }))
            }
        }
    }
}

#[test]
fn every_level_is_that_of_the_pixel_by_pixel_account() {
    for (seed, size) in [(1, [2, 2, 2, 70, 90]), (2, [1, 1, 1, 300, 130]), (3, [1, 3, 1, 61, 515])] {
        let mut dice = Dice(seed);
        let all = (0..12).map(|_| {
            let mut shapes = Vec::new();
            for _ in 0..dice.roll(4) {
                let figure = dice.figure(100.0);
                let transform = [
                    None,
                    None,
                    Some([1.0, 0.25, -5.0, 0.5, 1.5, 3.0]),
                    Some([0.0, -1.0, 80.0, 1.0, 0.0, 2.0]),
                    Some([-0.75, 0.0, 90.0, 0.0, 2.0, -7.0]),
                ][dice.roll(5) as usize];
                let mut plane = || if dice.roll(3) > 0 { ANY } else { dice.roll(3) as u32 };
                shapes.push(on(figure, transform, (plane(), plane(), plane())));
            }
            shapes
        });
        let rois = rois(all.collect());
        let drawn = Drawn::new(rois, &image(size));
        assert_eq!(drawn.labels.full.c, size[1], "some shape names a channel");
        check(&drawn);
    }
}

#[test]
fn channels_are_one_unless_a_shape_names_them_and_rgb_is_one_channel() {
    let mut rgb = image([1, 3, 2, 20, 20]);
    let point = |c| on(Figure::Point { x: 3.0, y: 4.0 }, None, (ANY, c, 1));
    let plain = rois(vec![vec![point(ANY)]]);
    let drawn = Drawn::new(plain, &rgb);
    assert_eq!(drawn.labels.full.tczyx(), [1, 1, 2, 20, 20]);
    check(&drawn);
    rgb.samples = 3;
    let named = rois(vec![vec![point(0)], vec![point(1)]]);
    let drawn = Drawn::new(named, &rgb);
    assert_eq!(drawn.labels.full.c, 3);
    assert_eq!((0..3).map(|g| plane(&drawn, 0, (0, g, 1))[4][3]).collect::<Vec<_>>(), [1, 1, 1]);
    check(&drawn);
}

#[test]
fn values_follow_the_document_and_the_type_follows_the_values() {
    for (count, dtype) in
        [(1, Dtype::U8), (255, Dtype::U8), (256, Dtype::U16), (65_535, Dtype::U16), (65_536, Dtype::U32)]
    {
        let mut all = vec![Vec::new(); count];
        all[count - 1] = vec![shape(Figure::Rectangle { x: 1.0, y: 1.0, width: 2.0, height: 2.0 })];
        let mut rois = rois(all);
        rois.of_series = vec![vec![count as u32 - 1]];
        let drawn = Drawn::new(rois, &image([1, 1, 1, 4, 4]));
        assert_eq!(drawn.labels.dtype, dtype, "{count}");
        assert_eq!(plane(&drawn, 0, (0, 0, 0))[2][2], count as u32);
    }
}

#[test]
fn far_and_empty_shapes_cover_what_they_should() {
    let far = Figure::FARTHEST;
    let all = vec![
        vec![shape(Figure::Rectangle { x: -far, y: 2.0, width: 2.0 * far, height: 3.0 })],
        vec![shape(Figure::Polygon([[-far, -far], [far, -far], [0.0, 0.5]].into()))],
        vec![shape(Figure::Ellipse { x: 10.0, y: 10.0, radius_x: far, radius_y: 1.0 })],
        vec![shape(Figure::Line { x1: -far, y1: 12.0, x2: far, y2: 12.0 })],
        vec![shape(Figure::Ellipse { x: 5.0, y: 5.0, radius_x: 0.0, radius_y: 3.0 })],
        vec![shape(Figure::Rectangle { x: 5.0, y: 5.0, width: -3.0, height: 3.0 })],
        vec![shape(Figure::Polygon([].into())), shape(Figure::Polygon([[1.0, 1.0], [9.0, 9.0]].into()))],
        vec![on(Figure::Ellipse { x: 5.0, y: 5.0, radius_x: 3.0, radius_y: 3.0 }, Some([0.0; 6]), (ANY, ANY, ANY))],
    ];
    let rois = rois(all);
    let drawn = Drawn::new(rois, &image([1, 1, 1, 20, 20]));
    let found = plane(&drawn, 0, (0, 0, 0));
    let want = |y: usize| match y {
        2..5 => 1,
        9 | 10 => 3,
        12 => 4,
        _ => 0,
    };
    for (y, row) in found.iter().enumerate() {
        // The tip of the polygon ends above the first centre.
        assert!(row.iter().all(|v| *v == want(y)), "row {y}: {row:?}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_on_its_planes_alone() {
    let unreadable = on(Figure::Unreadable("no Points".into()), None, (ANY, ANY, 1));
    let rois = rois(vec![vec![unreadable], vec![shape(Figure::Point { x: 1.0, y: 1.0 })]]);
    let drawn = Drawn::new(rois, &image([1, 1, 2, 8, 8]));
    assert_eq!(plane(&drawn, 0, (0, 0, 0))[1][1], 2);
    let id = TileId { series: 1, level: 0, t: 0, g: 0, z: 1, ty: 0, tx: 0 };
    let error = drawn.unit(id, &Watch::default()).unwrap_err();
    assert!(error.kind() == Kind::Malformed && error.to_string().contains("no Points"), "{error}");
}

#[test]
fn drawing_ends_when_nobody_waits() {
    // A zigzag over the whole height, and a shape for each of very many regions.
    let zigzag: Vec<[f64; 2]> = (0..100_000).map(|i| [f64::from(i % 500), f64::from(i % 2) * 512.0]).collect();
    let mut all = vec![vec![shape(Figure::Polygon(zigzag.into()))]];
    let most = |_| vec![shape(Figure::Rectangle { x: 0.0, y: 0.0, width: 511.0, height: 512.0 })];
    all.splice(0..0, (0..50_000).map(most));
    let rois = rois(all);
    let drawn = Drawn::new(rois, &image([1, 1, 1, 512, 512]));
    let id = TileId { series: 1, level: 0, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
    let watch = Watch::default();
    assert_eq!(drawn.unit(id, &watch).unwrap()[..511].iter().min(), Some(&50_000));
    watch.abandon();
    assert_eq!(drawn.unit(id, &watch).unwrap_err().kind(), Kind::Interrupted);
}

#[test]
fn a_region_of_many_shapes_in_many_images_costs_its_shapes_once() {
    let shapes = vec![shape(Figure::Rectangle { x: 1.0, y: 1.0, width: 2.0, height: 2.0 }); 50_000];
    let mut all = rois(vec![shapes]);
    all.of_series = vec![vec![0]; 20_000];
    let outlines: Vec<Outline> = all.all.iter().map(Outline::new).collect();
    let image = image([1, 1, 1, 8, 8]);
    let held: usize = (0..20_000).map(|of| Labels::new(&all, &outlines, of, &image).heap_bytes()).sum();
    assert!(held < 16 << 20, "{held}");
}

#[test]
fn extreme_numbers_never_panic_and_leave_no_crossings() {
    let far = Figure::FARTHEST;
    let numbers = [0.0, -0.0, 1e-300, -1e-300, 0.5, 149.5, 150.0, -1e9, 4e9, far, -far, far - 0.25, f64::EPSILON];
    let factors = [0.0, 1.0, -1.0, 1e-300, 1e-9, 1e9, 3e14, -1e15];
    let image = image([1, 1, 1, 70, 150]);
    let mut dice = Dice(9);
    for _ in 0..2000 {
        let mut n = || numbers[dice.roll(numbers.len() as u64) as usize];
        let ([x, y, a, b], points) = ([n(), n(), n(), n()], (0..5).map(|_| [n(), n()]).collect());
        let figure = match dice.roll(7) {
            0 => Figure::Rectangle { x, y, width: a, height: b },
            1 => Figure::Ellipse { x, y, radius_x: a, radius_y: b },
            2 => Figure::Point { x, y },
            3 => Figure::Line { x1: x, y1: y, x2: a, y2: b },
            4 => Figure::Polyline(points),
            5 => Figure::Polygon(points),
            _ => {
                let (width, height) = (a.abs().max(1e-300), b.abs().max(1e-300));
                Figure::Mask(Box::new(Mask { x, y, width, height, columns: 3, rows: 5, bits: [0xA5, 0x5A].into() }))
            }
        };
        let mut f = || factors[dice.roll(factors.len() as u64) as usize];
        let transform = [None, Some([f(), f(), f(), f(), f(), f()])][dice.roll(2) as usize];
        let hostile = on(figure, transform, (ANY, ANY, ANY));
        // What is out of reach was refused before.
        let reach = |e: &Extent| [e.top, e.bottom, e.left, e.right].iter().all(|v| v.abs() <= far);
        if !draw::extent(&hostile).is_none_or(|e| reach(&e)) {
            continue;
        }
        // One behind it in the same canvas: what the first left there would show.
        let cover = shape(Figure::Polygon([[0.0, 0.0], [150.0, 0.0], [150.0, 70.0], [0.0, 70.0]].into()));
        let drawn = Drawn::new(rois(vec![vec![cover], vec![hostile]]), &image);
        for level in 0..drawn.labels.levels.len() as u32 {
            assert!(plane(&drawn, level, (0, 0, 0)).iter().flatten().all(|v| *v == 1 || *v == 2));
        }
    }
}
